"""Your own networks: a function `net` in networks/mine.py is `model: networks.mine:net` in params.yaml."""
