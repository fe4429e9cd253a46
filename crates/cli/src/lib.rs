//! ferry, the command: local stack, build, deploy and operation.
