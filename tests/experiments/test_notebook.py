"""The notebook runs as it is."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "notebooks" / "research.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's packages, which are not ours
def test_the_notebook_ends_in_a_verdict():
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    printed = [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream" and output["name"] == "stdout"
    ]
    assert "points [" in printed[0]
