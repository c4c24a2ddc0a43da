"""The only place that talks to AWS: one door (`client`), and one function for each API call that is used."""
