"""The formats of images and the protocol of registries: values, parsers and rules. No I/O, no clock, no chance.

Whatever comes from a registry or from a file is the work of somebody else. Each parser here takes any bytes
and gives a value, or raises a BockerError that names what is wrong; nothing else.
"""
