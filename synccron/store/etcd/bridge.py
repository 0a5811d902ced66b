"""Make the package etcd3 0.12.0 work with today's protobuf; nothing else knows of its troubles.

The message classes that etcd3 ships were generated in 2020 in a form that protobuf refuses since
4.0. The descriptions of the messages in those files are as good as ever: they are read from the
installed source without running it, and the classes are made of them, whatever version of protobuf
is there. https://github.com/kragniz/python-etcd3/issues/1721
"""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from synccron.errors import StoreError

_PACKAGE = "etcd3.etcdrpc"
_FILES = ("kv_pb2", "auth_pb2", "rpc_pb2")  # each after those that it imports
_DESCRIPTION = re.compile(r"serialized_pb=(?:_b\()?(b?(['\"]).*\2)\)?,?$", re.MULTILINE)
HINT = "pip install 'synccron[etcd]'"


def load() -> tuple[ModuleType, Any]:
    """Import etcd3; the package, and its module of messages and stubs.

    Raises StoreError where it is not installed, or was imported in its broken form.
    """
    already = sys.modules.get(_PACKAGE)
    if already is None:
        sys.modules[_PACKAGE] = _messages()
    try:
        import etcd3
    except (ImportError, TypeError) as error:
        sys.modules.pop(_PACKAGE, None)
        raise StoreError(f"the package etcd3 cannot be imported: {error}", hint=HINT) from error
    return etcd3, sys.modules[_PACKAGE]


def _messages() -> ModuleType:
    """Build what `etcd3.etcdrpc` would have been."""
    try:
        import grpc  # noqa: F401 - the stubs need it
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise StoreError(f"a store on etcd needs packages: {error}", hint=HINT) from error
    folder = _folder()
    pool = descriptor_pool.DescriptorPool()  # of its own: no clash with another etcd library
    package = ModuleType(_PACKAGE)
    package.__path__ = []
    for name in _FILES:
        file = descriptor_pb2.FileDescriptorProto.FromString(_described(folder / f"{name}.py"))
        pool.Add(file)
        module = ModuleType(f"{_PACKAGE}.{name}")
        found = pool.FindFileByName(file.name)
        for each, descriptor in found.message_types_by_name.items():
            setattr(module, each, message_factory.GetMessageClass(descriptor))
        for kind in found.enum_types_by_name.values():
            for value in kind.values:
                setattr(module, value.name, value.number)
        sys.modules[module.__name__] = module
        setattr(package, name, module)
        package.__dict__.update(
            {key: value for key, value in vars(module).items() if not key.startswith("_")}
        )
    stubs = _run(folder / "rpc_pb2_grpc.py", package)
    package.__dict__.update(
        {key: value for key, value in vars(stubs).items() if key.endswith("Stub")}
    )
    return package


def _folder() -> Path:
    found = importlib.util.find_spec("etcd3")
    if found is None or not found.submodule_search_locations:
        raise StoreError("a store on etcd needs the package etcd3", hint=HINT)
    return Path(found.submodule_search_locations[0]) / "etcdrpc"


def _described(path: Path) -> bytes:
    """Read the serialized description out of a generated file: `serialized_pb=_b('...')`.

    That line alone is parsed: the tree of a whole file would take a node's memory for good.
    """
    found = _DESCRIPTION.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise StoreError(f"{path} is not of etcd3 0.12.0", hint=HINT)
    value = ast.literal_eval(found[1])
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def _run(path: Path, package: ModuleType) -> ModuleType:
    """Import the file of stubs, which only joins names of calls to classes of messages."""
    sys.modules[_PACKAGE] = package
    found = importlib.util.spec_from_file_location(f"{_PACKAGE}.{path.stem}", path)
    if found is None or found.loader is None:
        raise StoreError(f"{path} cannot be imported", hint=HINT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
