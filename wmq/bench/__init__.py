"""What the README says of speed and of quality, measured on this machine: `wmq bench`."""
