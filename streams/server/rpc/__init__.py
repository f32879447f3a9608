"""gRPC: what `retold.proto` says, asked of the API inside this process. `retold_pb2` is made of that file by `make proto`."""
