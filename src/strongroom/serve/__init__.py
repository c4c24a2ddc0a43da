"""HTTP on this machine, for whoever answers in bytes: knows neither AWS nor secrets."""
