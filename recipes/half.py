#!/usr/bin/env python3
"""half.py IN.safetensors OUT.safetensors - the same tensors in f16, half as many bytes: adapters as they lie in models/."""
import array
import json
import os
import struct
import sys


def main(source, target):
    with open(source, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    out, at = b"", 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        if tensor["dtype"] != "F32":
            sys.exit(f"{source}: {name} is {tensor['dtype']}, expected F32")
        first, last = tensor["data_offsets"]
        values = array.array("f", data[first:last])
        if sys.byteorder != "little":
            values.byteswap()
        out += struct.pack(f"<{len(values)}e", *values)
        tensor.update(dtype="F16", data_offsets=[at, len(out)])
        at = len(out)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(target + ".tmp", "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + out)
    os.rename(target + ".tmp", target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
