"""Where rows are computed: this machine, endpoints anywhere, a cluster."""
