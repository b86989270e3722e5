"""The checks of `.ci/run` one by one, each in an environment of its own: `pip install nox && nox -s lint types`."""

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session: nox.Session) -> None:
    """Style, spelling, and dependencies that are imported but not declared."""
    session.install(".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("typos")
    session.run("deptry", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy over the installed package."""
    session.install(".[test]")
    session.run(".ci/types", external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """The fast tests, or those that are named: `nox -s tests -- tests/hierarchy`."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Trainings from the command line, the benchmark, thousands of patterns."""
    session.install(".[test]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, in `site/`. Warnings are errors."""
    session.install(".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session
def mutation(session: nox.Session) -> None:
    """Which changes to `models` and `datasets` the tests notice: hours on two cores."""
    session.install("-e", ".[test,dev]")
    session.run("python", "benchmarks/mutation.py", *session.posargs)


@nox.session(venv_backend="none")
def lowest(session: nox.Session) -> None:
    """A selection of the tests on the oldest versions that `pyproject.toml` allows."""
    session.run(".ci/lowest", *session.posargs, external=True)
