"""Exports a trained model: as one HTML page, as ONNX, or as StableHLO.

    html       draw a digit, look inside, learn step by step, train; opens from the disk, asks no
               other host for anything; of two runs, both side by side. The page computes dense,
               convolutional and max-pool layers; batch norm becomes part of the weights before it
    onnx       for onnxruntime and whatever else reads ONNX; needs the package onnx
    stablehlo  for any JAX, on cpu, cuda and tpu, without this library; JAX promises to read it for
               six months after it was written: keep model.safetensors, which is the archive

Before a file is written, it is compared with the model. A network with a layer that the format
cannot hold is refused, with the layer's name.

usage: python -m experiments.export RUN [RUN] --format=html|onnx|stablehlo [--output=FILE]
RUN is a folder that experiments.train has written, or a model.safetensors alone; instead of it,
--model names a model that comes with the library.
"""

from collections.abc import Callable
from pathlib import Path

from digits_jax import export
from digits_jax.export import html, onnx, stablehlo
from digits_jax.runs.files import write_atomically
from experiments.cli import entries, flags, script

# What writes a format, the ending of its files, and how to use them.
FORMATS: dict[str, tuple[Callable[[list[export.Source]], bytes], str, str]] = {
    "html": (lambda sources: html.make(sources, flags.FLAGS.data_dir).encode(), "html", html.USAGE),
    "onnx": (lambda sources: onnx.serialise(*sources), "onnx", onnx.USAGE),
    "stablehlo": (lambda sources: stablehlo.serialise(*sources), "stablehlo", stablehlo.USAGE),
}


def main(runs: list[str]) -> None:
    with script.user_errors(ValueError, OSError):
        paths = [Path(run).expanduser() for run in runs]
        if flags.FLAGS.model:
            paths.append(export.shipped(flags.FLAGS.model))
        most = 2 if flags.FLAGS.format == "html" else 1
        if not 1 <= len(paths) <= most:
            raise ValueError(f"expected {'one or two runs' if most == 2 else 'one run'} or --model")
        entries.load(paths)
        sources = [export.read(path) for path in paths]
        write, ending, usage = FORMATS[flags.FLAGS.format]
        name = "-".join(source.name for source in sources)
        output = Path(flags.FLAGS.output or f"{name}.{ending}").expanduser()
        if output.is_dir() or not output.parent.is_dir():
            raise ValueError(f"output={output}: expected a file's name, in a folder that is there")
        if output.exists() and not flags.FLAGS.overwrite:
            raise ValueError(f"{output} is there: choose another output, or give --overwrite")
        content = write(sources)
        write_atomically(output, content)
    height, width = sources[0].trained.image_shape
    flags.say(f"{output}: bytes {len(content):,}")
    flags.say(*usage.format(path=str(output), height=height, width=width).splitlines())


if __name__ == "__main__":
    flags.define_export(FORMATS)
    script.run(main, arguments="[RUN [RUN]]")
