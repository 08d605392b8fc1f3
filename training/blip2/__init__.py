"""Fine-tuning of BLIP-2: the wording of captions and questions, model and loss, opening."""
