"""Objects that are kept: because they refer to each other in a circle, or by another object."""

import gc
import types
from collections import Counter
from contextlib import contextmanager


@contextmanager
def without_collections():
    """Run no garbage collection meanwhile; begin with nothing to collect."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def unreachable(*packages):
    """Return the number of objects that only the garbage collector can free, by class.

    Only instances of classes of these packages count.
    """
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        modules = [(type(each).__module__, type(each).__qualname__) for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()
    return Counter(name for module, name in modules if module.partition(".")[0] in packages)


def kept_by(root, *classes):
    """Return the number of instances of these classes to which `root` refers, by class.

    References from modules, classes and functions do not count.
    """
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | types.ModuleType | types.CodeType):
            continue
        seen.add(id(each))
        if isinstance(each, classes):
            found[type(each).__name__] += 1
        if isinstance(each, types.FunctionType):
            waiting.extend(each.__closure__ or ())
        else:
            waiting.extend(gc.get_referents(each))
    return found
