"""Write lines of text of a bundle; ``--texts`` says which, as for rendered ones."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from augment.errors import ConfigError
from augment.generate import Tally
from augment.generators.line_sampler import LineSampler, line_records
from jobs.exports import open_writer
from jobs.rendering import choose_texts

__all__ = ["check_options", "write_lines"]

CHUNK = 512
"""Lines drawn at a time."""


def check_options(arguments: Namespace, *, writes_lines: bool) -> None:
    """Refuse options that do not go with the kind of bundle.

    Raises:
        ConfigError: names them.
    """
    if writes_lines != (arguments.texts is not None):
        raise ConfigError(
            "--texts goes with bundles that write lines, and these with nothing else; got "
            f"{arguments.bundle} and {arguments.texts or 'no --texts'}."
        )
    others = {
        "--new-identities": arguments.new_identities,
        "--with-real": arguments.with_real,
        "--drop-copies": arguments.drop_copies,
        "--labels": None if arguments.labels == "all" else arguments.labels,
    }
    given = [option for option, value in others.items() if value is not None]
    if writes_lines and given:
        raise ConfigError(f"{' and '.join(given)} does not go with lines; leave it out.")


def write_lines(sampler: LineSampler, arguments: Namespace, out: Path) -> None:
    """Run the job for a bundle of lines; line i says text i and is sample i of it.

    Args:
        sampler: of the bundle.
        arguments: of ``jobs.generate``.
        out: where the export goes.

    Raises:
        ConfigError, DataError: see ``choose_texts``.
        RequestError: a text that the bundle cannot write.
    """
    count, seed = arguments.count, arguments.seed
    text_of = choose_texts(arguments.texts, sampler.layout, seed)
    if arguments.dry_run:
        return
    tally = Tally(asked=count)
    with (
        open_writer(arguments, out, None) as writer,
        tqdm(total=count, desc="writing", unit="line") as bar,
    ):
        for first in range(0, count, CHUNK):
            indices = np.arange(first, min(first + CHUNK, count))
            texts = [text_of(index) for index in indices.tolist()]
            samples = sampler.draw_texts(texts, indices, seed)
            for record in line_records(samples, sampler.digest, range(len(texts))):
                writer.add(record)
            tally.made = tally.kept = first + len(texts)
            bar.update(len(texts))
        writer.close({**asdict(tally), "real": 0})
    print(f"{out}: {tally.kept} lines written")
