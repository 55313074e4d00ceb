"""What every table of a profile file shares: strict keys, frozen values, and the types of single values.

A pattern is a Python regular expression that fits the whole of a path or text (`fullmatch`).
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_PATTERN = 1000  # characters; the longest shipped one has about 250


class Table(BaseModel):
    """One table: an unknown key is a mistake, a value never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as cause:
        raise ValueError(f"is not a regular expression: {cause}") from cause
    return text


Pattern = Annotated[str, Field(max_length=MAX_PATTERN), AfterValidator(_compiles)]
Extension = Annotated[str, Field(pattern=r"^[a-z0-9]{1,10}$")]
UsbId = Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")]
ProfileId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")]
