"""The tool itself: plain Python, so that plain Python can test it."""

# JSON Schema 2020-12. The host checks both, so `shout` needs no look at what kind of value `text` is.
INPUT_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 1, "description": "What to say louder."}},
    "required": ["text"],
    "additionalProperties": False,
}
OUTPUT_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def shout(input: dict) -> dict:
    """Turns the text into capitals. Raises `ValueError` where there is none."""
    letters = input["text"].strip()
    if not letters:
        raise ValueError("`text` has nothing but white space")
    return {"text": letters.upper()}
