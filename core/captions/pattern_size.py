"""How large a regular expression is for the compiler, before it is compiled."""

from __future__ import annotations

import re
from typing import Final

LARGEST_PATTERN: Final = 20_000  # characters, with counted repeats written out
_COUNT: Final = re.compile(r"\{(\d{1,9})(?:,\d*+)?\}")


def written_out(pattern: str) -> int:
    """Roughly the length of a pattern with its counted repeats written out, which is what compiling it takes."""
    sizes, last, at = [0], 0, 0  # of the open groups; of the part before
    while at < len(pattern):
        letter = pattern[at]
        if letter == "(":
            sizes.append(0)
            last = 0
        elif letter == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif letter == "{" and (count := _COUNT.match(pattern, at)):
            more = last * max(0, int(count[1]) - 1)
            sizes[-1] += more
            last += more
            at = count.end() - 1
        else:
            last = 1
            sizes[-1] += 1
            at += letter == "\\"
        if sizes[-1] > LARGEST_PATTERN:
            return sizes[-1]
        at += 1
    return sum(sizes)
