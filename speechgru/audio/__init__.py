"""Reading recordings: `reading` by soundfile, `containers` repairs, `in_graph` inside TensorFlow."""
