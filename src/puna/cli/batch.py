"""`puna batch`: a model applied to a whole file. The commands are imported when they are called."""

from collections.abc import Mapping
from typing import ClassVar

import click

from puna.cli.extras import Extra, ExtraCommands, Row


class BatchCommands(ExtraCommands):
    """The commands of `puna batch`."""

    extra = Extra("batch", frozenset({"jinja2", "numpy", "pyarrow"}))
    rows: ClassVar[Mapping[str, Row]] = {
        "run": Row(
            "puna.cli.batch_run", "run", "Compute every row of a file, or go on where it stopped"
        ),
        "plan": Row("puna.cli.batch_plan", "plan", "Tell what a job would take: hours and prices"),
        "init": Row("puna.cli.batch_init", "init", "Write a task file from questions and answers"),
        "list": Row("puna.cli.batch_jobs", "list_jobs", "List jobs"),
        "show": Row("puna.cli.batch_jobs", "show", "Show what is known of a job"),
        "pause": Row("puna.cli.batch_jobs", "pause", "Stop a job that runs; it can go on later"),
        "resume": Row("puna.cli.batch_run", "resume", "Go on with a job"),
        "cancel": Row("puna.cli.batch_jobs", "cancel", "Stop a job and forget what it computed"),
    }


@click.group(cls=BatchCommands)
def batch() -> None:
    """Apply a model to every row of a file: labels, free text, JSON or vectors.

    A job goes on where it was interrupted, whatever interrupted it, when the same command is given
    again. `puna[batch]` must be installed.
    """
