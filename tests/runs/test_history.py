"""metrics.csv: whole lines, each epoch once."""

import resource

import pytest

from digits_jax.runs.history import Row, appending

ROWS = [Row(epoch, 10 * epoch, 0.5, 0.25, None, None, 0.1, 1e-6) for epoch in (1, 2, 3)]


def test_a_table_is_replaced_and_grows(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step\n1,10\n2,20\n3,30\n4,4")  # of a process killed as it wrote
    with appending(path, ROWS[:2]) as append:
        assert len(path.read_text().splitlines()) == 3
        append(ROWS[2])
        assert path.read_text() == (
            "epoch,step,train_loss,train_accuracy,validation_loss,validation_accuracy,"
            "learning_rate,seconds\n"
            "1,10,0.5,0.25,,,0.1,1e-06\n"
            "2,20,0.5,0.25,,,0.1,1e-06\n"
            "3,30,0.5,0.25,,,0.1,1e-06\n"
        )
    assert list(tmp_path.iterdir()) == [path]


def test_where_the_space_ends_the_error_names_the_table(tmp_path):
    path = tmp_path / "metrics.csv"
    with appending(path, ROWS) as append:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
        try:
            with pytest.raises(OSError, match=rf"File too large: '{path}'$"):
                append(ROWS[2])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
