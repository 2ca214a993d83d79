"""What Flower runs: one server, and a client on every node."""

from synthdata.federated.flower import client_app, server_app

server = server_app()
client = client_app()
