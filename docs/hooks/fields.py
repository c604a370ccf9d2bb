"""For the reference: fields of pydantic models with the descriptions and defaults that stand in their ``Field(…)``."""

import ast
from typing import Any

import griffe


class Fields(griffe.Extension):
    """Makes a field's description its docstring, and its default its value."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **others: Any) -> None:
        """Add the description of a field that griffe has found."""
        call = attr.value
        if not isinstance(call, griffe.ExprCall) or str(call.function) != "Field":
            return
        given = {part.name: part.value for part in call.arguments if isinstance(part, griffe.ExprKeyword)}
        if "description" in given:
            attr.docstring = griffe.Docstring(ast.literal_eval(str(given["description"])), parent=attr)
        attr.value = given.get("default")
        attr.labels.clear()  # a field is neither of the class nor of the instance alone
