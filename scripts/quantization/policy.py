"""The precision policy: which layer is quantized, and to how many bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..documents import read_yaml
from ..errors import BundleError


@dataclass(frozen=True)
class Precision:
    """Bits (2 to 8) of a layer's weight, input and output; None is floating point."""

    weight: int | None = None
    input: int | None = None
    output: int | None = None

    @property
    def quantized(self) -> bool:
        return self.weight is not None


class PrecisionPolicy:
    """Ordered rules, glob over module names -> precision; the first rule that matches decides.

    Args:
        rules: mappings such as {"modules": "*.attn.qkv", "precision": "fp32"} or
            {"modules": "*", "weight": 7, "input": 8}. "optional": true lets a glob match nothing, for parts that not
            every architecture has.
        source: named in errors.

    Raises:
        BundleError: a rule with unknown keys or impossible bits; names the rule.
    """

    def __init__(self, rules: Sequence[Mapping[str, object]], source: str = "precision policy") -> None:
        if not isinstance(rules, Sequence) or not rules:
            raise BundleError(f"{source}: expected a list of rules")
        self.source = source
        self.rules = [self._read(rule) for rule in rules]
        self.optional = {rule["modules"] for rule in rules if rule.get("optional")}

    @classmethod
    def from_file(cls, path: str | Path) -> PrecisionPolicy:
        """Read the rules from a YAML file."""
        path = Path(path)
        if not path.is_file():
            raise BundleError(f"{path}: no such precision policy")
        return cls(read_yaml(path), str(path))

    def _read(self, rule: Mapping[str, object]) -> tuple[str, Precision]:
        if not isinstance(rule, Mapping) or not isinstance(rule.get("modules"), str):
            raise BundleError(f"{self.source}: rule {rule!r} needs a glob under 'modules'")
        if not isinstance(rule.get("optional", False), bool):
            raise BundleError(f"{self.source}: rule {dict(rule)!r}: optional takes true or false")
        content = {key: value for key, value in rule.items() if key not in ("modules", "optional")}
        if content == {"precision": "fp32"}:
            return rule["modules"], Precision()
        unknown = set(content) - {"weight", "input", "output"}
        if unknown or "weight" not in content:
            raise BundleError(
                f"{self.source}: rule {dict(rule)!r} takes either precision: fp32, or weight, input, output"
            )
        wrong = [key for key, bits in content.items() if type(bits) is not int or not 2 <= bits <= 8]
        if wrong:
            raise BundleError(f"{self.source}: rule {dict(rule)!r}: {wrong[0]} takes 2 to 8 bits")
        return rule["modules"], Precision(**content)

    def resolve(self, names: Iterable[str]) -> dict[str, Precision]:
        """The precision of each module name.

        Raises:
            BundleError: a name that no rule matches, or a rule whose glob matches none of the names.
        """
        names = list(names)
        for pattern, _ in self.rules:
            if pattern not in self.optional and not any(fnmatchcase(name, pattern) for name in names):
                raise BundleError(f"{self.source}: the glob {pattern!r} matches no layer of the network")
        precisions = {}
        for name in names:
            matching = [precision for pattern, precision in self.rules if fnmatchcase(name, pattern)]
            if not matching:
                raise BundleError(f"{self.source}: no rule matches the layer {name}; end with a rule for '*'")
            precisions[name] = matching[0]
        return precisions
