"""From a photo or a drawing to digits."""

from digits_jax.recognition.find import Found, find
from digits_jax.recognition.normalise import normalise
from digits_jax.recognition.pictures import read
from digits_jax.recognition.readers import reader, shipped
from digits_jax.recognition.recognise import (
    Digit,
    as_numbers,
    as_text,
    look,
    probabilities,
    recognise,
)

__all__ = [
    "Digit",
    "Found",
    "as_numbers",
    "as_text",
    "find",
    "look",
    "normalise",
    "probabilities",
    "read",
    "reader",
    "recognise",
    "shipped",
]
