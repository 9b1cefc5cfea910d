"""Prompts, text-guided attention and the aggregator."""

import torch
from torch.testing import assert_close

from vilaco.method.aggregator import AggregatorConfig, ForgeryAwareAggregator, attention_pool
from vilaco.method.prompts import LearnablePrompt, PromptConfig, insert_in_middle
from vilaco.method.text_attention import TextAttentionConfig, TextGuidedAttention


def test_word_sits_in_the_middle_of_the_context() -> None:
    context = torch.tensor([[1.0], [2.0], [3.0]])
    assert insert_in_middle(context, torch.tensor([[9.0], [8.0]])).flatten().tolist() == [1, 9, 8, 2, 3]


def test_prompts_share_context_or_not() -> None:
    words = [torch.ones(1, 4), 2 * torch.ones(2, 4)]
    shared = LearnablePrompt(words, PromptConfig(context_length=6))
    real, fake = shared()
    assert (real.shape, fake.shape) == ((7, 4), (8, 4))
    assert_close(real[:3], fake[:3])
    assert_close(real[3], torch.ones(4))
    apart = LearnablePrompt(words, PromptConfig(context_length=6, shared_context=False))
    real, fake = apart()
    assert not torch.equal(real[:3], fake[:3])


def test_without_context_the_prompt_is_the_word_and_nothing_learns() -> None:
    words = [torch.randn(1, 4), torch.randn(2, 4)]
    prompt = LearnablePrompt(words, PromptConfig(context_length=0))
    assert list(prompt.parameters()) == []
    assert_close(prompt(), words)


def test_text_attention_equals_torch_multi_head_attention() -> None:
    torch.manual_seed(0)
    ours = TextGuidedAttention(12, TextAttentionConfig(num_heads=3))
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    tokens, text = torch.randn(2, 7, 12), torch.randn(2, 12)
    rows = ours.norm_text(text).expand(2, -1, -1)
    expected = tokens + theirs(ours.norm_patches(tokens), rows, rows)[0]
    assert_close(ours(tokens, text), expected)


def test_attention_pool_at_its_limits() -> None:
    tokens = torch.tensor([[[1.0, 0.0], [3.0, 2.0]]])
    assert_close(attention_pool(tokens, torch.zeros(1, 2)), torch.tensor([[2.0, 1.0]]))
    assert_close(attention_pool(tokens, torch.tensor([[0.0, 99.0]])), torch.tensor([[3.0, 2.0]]))


def test_aggregator_is_eq_3() -> None:
    torch.manual_seed(0)
    box = ForgeryAwareAggregator(8, AggregatorConfig()).eval()
    tokens, text = torch.randn(3, 5, 8), torch.randn(2, 8)
    out = box(tokens, text)
    assert out.shape == (3, 2, 8)
    for b in range(3):
        weights = box.score(tokens[b]).squeeze(-1).softmax(0)
        aggregated = (weights[:, None] * tokens[b]).sum(0)
        for t in range(2):
            row = aggregated + text[t]
            assert_close(out[b, t], box.ffn(row) + aggregated + text[t])
