"""A model for a microcontroller: one step without a loop, its bytes and its front end as C, run before it is written.

`folder` makes and writes it, `steps` runs a recording through it, `interpreter` is TensorFlow Lite Micro, `sources`
writes C; the front end itself is `speechgru_front_end.c`. `docs/microcontrollers.md` says what fits and how it is used.
"""
