"""A stand-in of the converter: its command lines, files and exit codes, over the simplest of dialogues."""
