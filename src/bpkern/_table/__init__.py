"""Tables: their columns, the encoder, files of data, and the commands for them."""
