"""Refusals of one kind: a sentence that names what was typed as it was typed, and a hint where one helps; or that in JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from accountant.commands import suggestions
from accountant.numerics import InputError

if TYPE_CHECKING:
    from typer import _click as click

#: What a sentence about arguments goes on with.
_VERBS: Final = (
    r"(?:(?:must|needs?|cannot|takes?|goes|stands?|file|folder)\b"
    r"|[^:,;]{1,300}? (?:cannot be (?:read|written|made)|is not there)\b)"
)
#: Numbers that typer reads by itself, in its words and in ours.
_READ: Final = (
    (re.compile(r"('.*') is not a valid int(?:eger)?(?: range)?\.?$", re.DOTALL), "must be a whole number, got {}"),
    (re.compile(r"('.*') is not a valid float(?: range)?\.?$", re.DOTALL), "must be a number, got {}"),
    (re.compile(r"(\S+) is not in the range x>=(\S+?)\.?$"), "must be a number from {1}, got {0}"),
)
#: Words that ask for an argument.
_ASKS: Final = "give either|give|without|beside|than|left to|ask for"
_QUOTED: Final = re.compile(r"('(?:[^'\\]|\\.)*')")
_JUDGED: Final = re.compile(r"(?:^| )must be (?P<allowed>.+?), got (?P<value>.+)$", re.DOTALL)


class Refusal(NamedTuple):
    """What is shown of bad input. message: without the hint. missing: options that must be given, as they are typed."""

    message: str
    option: str | None = None
    value: str | None = None
    allowed: str | None = None
    hint: str | None = None
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


class StoppedError(Exception):
    """What ends a command with a sentence and another exit code than that of bad input."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.sentence, self.code = sentence, code


def show(refusal: Refusal, *, as_json: bool) -> None:
    """On standard error: the sentence, or a line of JSON."""
    if as_json:
        print(json.dumps({"error": refusal._asdict()}), file=sys.stderr)
        return
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    print("\x1b[1;31mError:\x1b[0m" if colour else "Error:", refusal, file=sys.stderr)


def wants_json(args: Sequence[str]) -> bool:
    """Whether a call asks for JSON, for errors that come before its options are read."""
    before = args[: args.index("--")] if "--" in args else args
    return "--json" in before


def plain(error: InputError) -> Refusal:
    """A refusal that belongs to no command."""
    return _judged(error.message, error)


def of_input(error: InputError, ctx: click.Context, args: Sequence[str] = ()) -> Refusal:
    """A refusal of a command's input, with its options as they are typed, or as keys of the problem file that has them."""
    names = _names(ctx, args)
    if error.missing:
        each = [[names.get(name, name) for name in words.split("|")] for words in error.missing]
        said = _listed([first + "".join(f" (or {other})" for other in others) for first, *others in each])
        missing = tuple(first for first, *_ in each)
        return Refusal(f"{said} must be given", missing[0], None, None, error.hint, missing)
    message = spelled(error.message, names)
    found = _judged(message, error, option=_first(error.message, names) or _mentioned(message))
    typed = _typed(found.option, args)
    if typed is not None and found.value is not None and typed != found.value and _same(typed, found.value):
        found = found._replace(value=typed, message=f"{found.message.removesuffix(found.value)}{typed}")
    return found._replace(hint=None if error.hint is None else spelled(error.hint, names))


def of_usage(error: click.ClickException) -> Refusal:
    """A refusal of how a command was called, in the words of all others."""
    from typer._click import exceptions

    ctx: Any = getattr(error, "ctx", None)
    path = "accountant" if ctx is None else ctx.command_path
    has = [] if ctx is None else [name for each in ctx.command.get_params(ctx) for name in (*each.opts, *each.secondary_opts)]
    match error:
        case exceptions.NoSuchOption():
            return _unknown(error.option_name, path, has)
        case exceptions.MissingParameter():
            missing = tuple(map(_name, _missing(error)))
            return Refusal(f"{_listed(missing)} must be given", missing[0], hint=_help(path), missing=missing)
        case exceptions.BadParameter() if error.param is not None:
            name = _name(error.param)
            return _judged(f"{name} {_of_value(error.message)}", None, option=name)
        case exceptions.BadOptionUsage():
            said = "takes no value" if "does not take" in error.message else "needs a value"
            return Refusal(f"{error.option_name} {said}", error.option_name, hint=_help(path))
    return _other(error.format_message(), path, ctx)


def _of_value(message: str) -> str:
    """What is wrong with a value, as the end of a sentence."""
    if message.startswith("it must"):
        return message.removeprefix("it ")
    for pattern, said in _READ:
        if found := pattern.match(message):
            return said.format(*found.groups())
    return f"must be another value: {message.rstrip('.')}"


def _unknown(option: str, path: str, has: Sequence[str]) -> Refusal:
    meant = suggestions.option(option, has)
    hint = _help(path) if meant is None else f"did you mean {meant}?"
    return Refusal(f"{path} has no option {option}", option, hint=hint)


def _other(message: str, path: str, ctx: Any) -> Refusal:
    if unknown := re.search(r"No such command '(.*?)'", message):
        word = unknown[1]
        meant = suggestions.command(word, list(ctx.command.commands))
        return Refusal(
            f"{path} has no command {word!r}", value=word,
            hint=f"{path} --help lists them" if meant is None else f"did you mean {path} {meant}?",
        )  # fmt: skip
    if extra := re.search(r"unexpected extra argument\(?s?\)? \((.*)\)", message):
        return Refusal(f"{path} takes no argument {extra[1]!r} there", value=extra[1], hint=_help(path))
    return Refusal(message[:1].lower() + message[1:].rstrip("."), hint=_help(path))


def _help(path: str) -> str:
    return f"{path} --help tells more"


def _missing(error: Any) -> Iterable[click.Parameter]:
    """All that is required and was not given, in place of the first."""
    ctx, args = error.ctx, getattr(error, "words", None)
    if args is None:
        return [error.param]
    given, _, _ = ctx.command.make_parser(ctx).parse_args(args=list(args))
    return [each for each in ctx.command.get_params(ctx) if each.required and each.name not in given] or [error.param]


def _name(parameter: click.Parameter, args: Sequence[str] = ()) -> str:
    """A parameter as it is typed, in ``args`` or elsewhere: --batch-size, or TABLE for an argument."""
    if parameter.param_type_name == "argument":
        return (parameter.metavar or parameter.name or "").strip("[]").upper()
    typed = [word.partition("=")[0] for word in args]
    return max(
        (name for name in parameter.opts if len(name) > 2 and name in typed), key=len, default=max(parameter.opts, key=len)
    )


def _names(ctx: click.Context, args: Sequence[str]) -> dict[str, str]:
    """The parameters of a command as they are typed; those that only the problem file says, as its keys."""
    parameters = ctx.command.get_params(ctx)
    # Some options have another name than their parameter, as --from has.
    names = {word: name for each in parameters for name in each.opts for word in (name.lstrip("-"), _bare(name))}
    names |= {each.name: _name(each, args) for each in parameters if each.name}
    path = ctx.params.get("problem")
    keys = _keys(path) if isinstance(path, str) else {}
    return names | {name: f"{key} in {path}" for name, key in keys.items() if ctx.params.get(name) is None and name in names}


def _bare(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _keys(path: str) -> dict[str, str]:
    """The keys of a problem file as they stand there, by argument."""
    import tomllib

    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    found = [key for name, value in data.items() for key in (value if isinstance(value, dict) else [name])]
    return {key.replace("-", "_"): key for key in found}


def spelled(message: str, names: Mapping[str, str]) -> str:
    """A message with its arguments as they are typed.

    Names with an underscore are arguments wherever they stand; others where they begin the sentence, stand before an equals
    sign, or after words that ask for an argument. Nothing changes in quotes.

    >>> names = {"n": "--n", "batch_size": "--batch-size", "bound": "--bound"}
    >>> spelled("n and batch_size must be given with bound=paper, got 'n=1'", names)
    "--n and --batch-size must be given with --bound paper, got 'n=1'"
    """
    if not names:
        return message
    parts = _QUOTED.split(message)
    one, scored = _any(names), [name for name in names if "_" in name]
    # Marked first, replaced at the end: what stands for a name may hold other names.
    lists = [
        rf"(?<![\w/-])(?:{_ASKS}) {one}(?:(?:,| or| and) {one})*(?![\w=/-])",
        rf"(?<![\w/-])with {one}(?: or {one})*(?=[;:)]|$|,(?! {one}))",
    ]
    whole: dict[str, str] = {}

    def valued(found: re.Match[str]) -> str:
        """name=value as it is typed: --name value, or name = value in a file."""
        key, inside, path = names[found[1]].partition(" in ")
        if not inside or not found[2]:
            return f"\0{found[1]}\0 {found[2] or ''}"
        whole[f"@{len(whole)}"] = f"{key} = {found[2]} in {path}"
        return f"\0@{len(whole) - 1}\0"

    for at in range(0, len(parts), 2):
        # What stands behind --column is a role of the table, and typed as it is. A value in quotes is another part.
        text = re.sub(rf"(?<![\w/.-])(?<!--column )({one})=(?=\S)([\w.+-]*[\w+-])?", valued, parts[at])
        if at == 0:
            text = _head(one).sub(lambda found: _marked(found[0], one), text)
        for pattern in lists:
            text = re.sub(pattern, lambda found: _marked(found[0], one), text)
        if scored:
            text = _marked(text, _any(scored), inside=r"(?<![\w/.\0-])(?<!--column )")
        parts[at] = re.sub("\0(.+?)\0", lambda found: whole[found[1]] if found[1] in whole else names[found[1]], text)
    return "".join(parts)


def _marked(text: str, names: str, *, inside: str = r"(?<![\w\0-])") -> str:
    return re.sub(rf"{inside}({names})(?![\w/\0-])", "\0\\1\0", text)


def _any(names: Iterable[str]) -> str:
    return "(?:" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")"


def _head(one: str) -> re.Pattern[str]:
    """The arguments that a sentence begins with."""
    return re.compile(rf"^(?:exactly one of )?{one}(?:(?:, | and | or ){one})*(?= {_VERBS}|=)")


def _first(message: str, names: Mapping[str, str]) -> str | None:
    """The option that a message is about."""
    head = _head(_any(names)).match(message)
    found = re.search(rf"(?<![\w-])({_any(names)})(?![\w-])", head[0]) if head else None
    return names[found[1]] if found else None


def _mentioned(message: str) -> str | None:
    """The first option that stands in a message, outside of quotes."""
    found = re.search(r"(?<![\w-])--[a-z][a-z-]+", _QUOTED.sub("", message))
    return found[0] if found else None


def _judged(message: str, error: InputError | None, *, option: str | None = None) -> Refusal:
    """A message taken apart: what is allowed, and what was got."""
    found = _JUDGED.search(message)
    value, allowed = (None, None) if found is None else (found["value"], found["allowed"])
    if value is not None and _QUOTED.fullmatch(value):
        value = value[1:-1]
    return Refusal(message, option, value, allowed, None if error is None else error.hint)


def _typed(option: str | None, args: Sequence[str]) -> str | None:
    """The value of an option as it stands in the call."""
    for at, word in enumerate(args):
        if option is not None and word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and at + 1 < len(args):
            return args[at + 1]
    return None


def _same(typed: str, got: str) -> bool:
    """Whether two texts are of one number."""
    try:
        return float(typed) == float(got)
    except ValueError:
        return False


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
