"""`superpixel token new`: create a token for a caller, and its line for the server's token file."""

from collections.abc import Sequence

from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, say, write
from superpixel_service.security.tokens import line_of, new_token


def run(*, action: str, name: str, scope: Sequence[str]) -> int:  # noqa: ARG001 (there is one action)
    """Print the line for the server's file, and write the token to standard error."""
    token = new_token()
    try:
        line = line_of(name, scope, token)
    except ValueError as error:
        raise CommandFailed(f"NAME {error}", status=EXIT_USAGE) from None
    write(line)
    say(f"the token, shown only now and stored nowhere: {token}")
    return EXIT_OK
