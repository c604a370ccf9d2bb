"""The part of Triton's `ModelConfig` that we write, as a message that reads config.pbtxt.

Names, numbers and types of the fields are those of `model_config.proto` of triton-inference-server/common; what is not
listed here is an error when a file is read.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

_Field = descriptor_pb2.FieldDescriptorProto
_ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP16": 10, "TYPE_FP32": 11},
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
}
_MESSAGES = {  # field: number, type, repeated
    "ModelInput": {"name": (1, "string", 0), "data_type": (2, "DataType", 0), "dims": (4, "int64", 1)},
    "ModelOutput": {"name": (1, "string", 0), "data_type": (2, "DataType", 0), "dims": (3, "int64", 1)},
    "ModelInstanceGroup": {"count": (2, "int32", 0), "kind": (4, "Kind", 0)},
    "ModelDynamicBatching": {"preferred_batch_size": (1, "int32", 1), "max_queue_delay_microseconds": (2, "uint64", 0)},
    "ModelParameter": {"string_value": (1, "string", 0)},
    "ParametersEntry": {"key": (1, "string", 0), "value": (2, "ModelParameter", 0)},
    "ModelConfig": {
        "name": (1, "string", 0),
        "platform": (2, "string", 0),
        "max_batch_size": (4, "int32", 0),
        "input": (5, "ModelInput", 1),
        "output": (6, "ModelOutput", 1),
        "instance_group": (7, "ModelInstanceGroup", 1),
        "dynamic_batching": (11, "ModelDynamicBatching", 0),
        "parameters": (14, "ParametersEntry", 1),
        "backend": (17, "string", 0),
    },
}


def read_config(text: str) -> Any:
    """Read a config.pbtxt as a message.

    Raises:
        google.protobuf.text_format.ParseError: Triton would not read it, or a field is not one of those above.
    """
    return text_format.Parse(text, _message()())


def _message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _MESSAGES or kind in _ENUMS:
                added.type = _Field.TYPE_MESSAGE if kind in _MESSAGES else _Field.TYPE_ENUM
                added.type_name = f".inference.{kind}"
            else:
                added.type = getattr(_Field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
