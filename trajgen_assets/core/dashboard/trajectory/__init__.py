"""One trial as its page shows it: its turns out of the record of its calls, what it came to, and why it counts."""
