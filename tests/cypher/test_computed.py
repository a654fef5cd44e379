"""Every `@computed` line names a function that is there, and every parameter has a use: in the text or there."""

import inspect
import re
from importlib import import_module

import pytest

from attrgraph_core.store.queries import load_query, query_names

COMPUTED = [name for name in query_names("analysis") if load_query(name).computed is not None]


@pytest.mark.parametrize("name", COMPUTED)
def test_its_function_takes_the_parameters_that_the_text_does_not_use(name):
    query = load_query(name)
    module, _, function = query.computed.function.partition(":")
    signature = inspect.signature(getattr(import_module(f"attrgraph_core.circuits.{module}"), function))
    taken = list(signature.parameters.values())[1:]
    used = set(re.findall(r"\$(\w+)", query.statements[0]))
    assert set(query.params) - used <= {parameter.name for parameter in taken}
    assert {parameter.name for parameter in taken} <= set(query.params)
    # The library and the query have the same defaults.
    assert {parameter.name: parameter.default for parameter in taken} == {
        parameter.name: query.params[parameter.name].default for parameter in taken
    }


def test_the_library_has_computed_queries():
    assert {"pruned_edges", "path_mass", "minimum_cut"} <= set(COMPUTED)
