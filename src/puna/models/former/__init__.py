"""Model files in the forms of Ollama's former engine, told and put into llama.cpp's own.

Ollama's own copy of llama.cpp is patched to translate them while it loads. Here a form is a recipe
(`recast`): which entries and tensors of the old file make the new one, under which names. What it
makes is known without writing it, and is written once, beside the store's blobs.
"""
