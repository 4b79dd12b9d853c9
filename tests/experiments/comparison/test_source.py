"""The counter of lines of code."""

from digits_jax.config import Config
from experiments.comparison.methods import METHODS
from experiments.comparison.source import code_lines, functions, rows

SNIPPET = '''
    def f(x):  # a comment beside code
        """A docstring
        of two lines."""

        # a comment alone
        y = [
            x,
        ]
        text = """not a docstring
        but data"""

        def g():
            "another docstring"
            return text

        return y, g
'''


def test_blank_lines_comments_and_docstrings_do_not_count():
    assert code_lines(SNIPPET) == 9


def test_every_method_is_counted_and_by_hand_takes_more_than_autodiff():
    assert functions(Config()).keys() == METHODS.keys()
    lines = {row.method: row.lines for row in rows(Config(), tuple(METHODS))}
    assert lines["autodiff"] < lines["manual"] < lines["numpy"]
