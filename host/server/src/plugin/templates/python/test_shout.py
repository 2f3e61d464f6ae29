import unittest

from shout import shout


class Shout(unittest.TestCase):
    def test_text_comes_back_in_capitals(self):
        self.assertEqual(shout({"text": " straße "}), {"text": "STRASSE"})

    def test_white_space_alone_is_refused(self):
        with self.assertRaises(ValueError):
            shout({"text": " "})


if __name__ == "__main__":
    unittest.main()
