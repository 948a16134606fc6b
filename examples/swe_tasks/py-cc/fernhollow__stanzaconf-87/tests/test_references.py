import unittest

from stanzaconf import Config, CycleError, MissingKeyError


class RepeatedReferences(unittest.TestCase):
    def test_twice_in_one_line(self):
        config = Config.from_texts("[server]\nhost = db\nurl = ${host}/${host}\n")
        self.assertEqual(config.get("server", "url"), "db/db")

    def test_two_values_may_share_a_third(self):
        config = Config.from_texts(
            "[network]\ndomain = example.net\n"
            "[db]\nprimary = p.${network.domain}\nreplica = r.${network.domain}\ndsn = ${primary},${replica}\n"
        )
        self.assertEqual(config.get("db", "dsn"), "p.example.net,r.example.net")

    def test_shared_value_behind_several_levels(self):
        text = "[v]\na = 1\n" + "".join(f"{c} = {c}${{{p}}}${{a}}\n" for p, c in zip("abcdef", "bcdefg"))
        self.assertEqual(Config.from_texts(text).get("v", "g"), "gfedcb1111111")

    def test_escaped_dollars_beside_repeated_references(self):
        config = Config.from_texts("[a]\nx = 1\ny = $${x} ${x} ${x}$$\n")
        self.assertEqual(config.get("a", "y"), "${x} 1 1$")

    def test_a_whole_stanza(self):
        config = Config.from_texts("[a]\nr = /srv\nlog = ${r}/log\ntmp = ${r}/tmp\nall = ${log}:${tmp}:${r}\n")
        self.assertEqual(config.section("a")["all"], "/srv/log:/srv/tmp:/srv")


class Cycles(unittest.TestCase):
    def path(self, text, stanza, key):
        with self.assertRaises(CycleError) as caught:
            Config.from_texts(text).get(stanza, key)
        return caught.exception.path

    def test_of_one_member(self):
        self.assertEqual(self.path("[a]\nx = ${x}\n", "a", "x"), ["a.x", "a.x"])

    def test_of_three_members(self):
        text = "[a]\nx = ${b.y}\n[b]\ny = ${c.z}\n[c]\nz = ${a.x}\n"
        self.assertEqual(self.path(text, "b", "y"), ["b.y", "c.z", "a.x", "b.y"])

    def test_path_leaves_out_the_way_to_the_cycle(self):
        text = "[app]\nname = n\nstart = ${name} ${a.x}\n[a]\nx = ${y}\ny = ${x}\n"
        self.assertEqual(self.path(text, "app", "start"), ["a.x", "a.y", "a.x"])

    def test_path_leaves_out_values_that_were_looked_at_before(self):
        text = "[a]\nok = 1\nx = ${ok} ${y}\ny = ${ok} ${ok} ${x}\n"
        self.assertEqual(self.path(text, "a", "x"), ["a.x", "a.y", "a.x"])

    def test_message_shows_the_path(self):
        with self.assertRaisesRegex(CycleError, r"a\.x -> a\.y -> a\.x"):
            Config.from_texts("[a]\nx = ${y}\ny = ${x}\n").get("a", "x")

    def test_error_is_the_same_when_asked_again(self):
        config = Config.from_texts("[a]\nx = ${y}\ny = ${x}\nz = fine\n")
        for _ in range(2):
            with self.assertRaises(CycleError) as caught:
                config.get("a", "x")
            self.assertEqual(caught.exception.path, ["a.x", "a.y", "a.x"])
        self.assertEqual(config.get("a", "z"), "fine")

    def test_a_missing_key_leaves_the_rest_readable(self):
        config = Config.from_texts("[a]\nx = ${gone} ${y}\ny = 2\n")
        with self.assertRaises(MissingKeyError):
            config.get("a", "x")
        self.assertEqual(config.get("a", "y"), "2")


if __name__ == "__main__":
    unittest.main()
