"""A vision-language model (LLaVA's shape) with random weights that is made in a second: real files, no meaning."""

from __future__ import annotations

from pathlib import Path

SIDE, PATCH = 28, 14
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def make(folder: Path) -> Path:
    """Write the model with its processor into `folder`. Its answers differ from picture to picture."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from tests.tiny_models import SERVED_LLAMA, byte_tokenizer

    special = ["<s>", "</s>", "<pad>", "<image>"]
    tokenizer = byte_tokenizer(
        special,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )
    size = {"height": SIDE, "width": SIDE}
    pixels = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size)
    LlavaProcessor(
        image_processor=pixels,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # CLS, which "default" leaves out again
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
            projection_dim=32,
        ),
        text_config=LlamaConfig(vocab_size=len(tokenizer), **SERVED_LLAMA, initializer_range=0.3),
        image_token_index=special.index("<image>"),
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "multi_modal_projector" in name or "patch_embedding" in name:
                weight.normal_(std=0.5)
        unwritten = [
            token in special or not "!" <= token <= "~"
            for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        ]
        model.get_output_embeddings().weight[torch.tensor(unwritten)] = 0  # it writes ASCII, and on and on
    model.generation_config.do_sample = True  # else a server ignores temperature and seed
    model.save_pretrained(folder)
    return folder
