"""The judge: asks a multimodal model about images, keeps every reply, and says how far the model can be trusted."""
