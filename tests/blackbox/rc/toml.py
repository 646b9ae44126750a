"""Writes the TOML that a test's configuration needs: tables of scalars, lists and inline tables."""

import json
import re


def dumps(config):
    """{"dns": {"zones": [...]}, "services": {"web": {...}}} as TOML."""
    lines = []
    for name, table in config.items():
        _table(lines, [name], table)
    return "\n".join(lines) + "\n"


def _table(lines, path, table):
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in table.items() if isinstance(value, dict)}
    if plain or not nested:
        lines.append(f"[{'.'.join(map(_key, path))}]")
        lines.extend(f"{_key(key)} = {_value(value)}" for key, value in plain.items())
    for key, value in nested.items():
        _table(lines, [*path, key], value)


def _key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value):
    return json.dumps(value)  # strings, numbers, booleans and lists of them look the same in TOML
