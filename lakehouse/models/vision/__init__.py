"""Asking vision-language models: one file a way to reach one. What is asked, others know."""
