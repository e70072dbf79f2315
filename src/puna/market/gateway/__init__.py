"""The way from clients to pods: their ports, a terminal, SSH, and the tunnels of agents."""
