"""The book's fixed headings: readers arrive with this table of contents."""

HEADINGS = """
chapters/01-understanding-large-language-models.ipynb
# 1 Understanding large language models
## 1.1 What is an LLM?
## 1.2 Applications of LLMs
## 1.3 Stages of building and using LLMs
## 1.4 Introducing the transformer architecture
## 1.5 Utilizing large datasets
## 1.6 A closer look at the GPT architecture
## 1.7 Building a large language model

chapters/02-working-with-text-data.ipynb
# 2 Working with text data
## 2.1 Understanding word embeddings
## 2.2 Tokenizing text
## 2.3 Converting tokens into token IDs
## 2.4 Adding special context tokens
## 2.5 Byte pair encoding
## 2.6 Data sampling with a sliding window
## 2.7 Creating token embeddings
## 2.8 Encoding word positions

chapters/03-coding-attention-mechanisms.ipynb
# 3 Coding attention mechanisms
## 3.1 The problem with modeling long sequences
## 3.2 Capturing data dependencies with attention mechanisms
## 3.3 Attending to different parts of the input with self-attention
### A simple self-attention mechanism without trainable weights
### Computing attention weights for all input tokens
## 3.4 Implementing self-attention with trainable weights
### Computing the attention weights step by step
### Implementing a compact self-attention Python class
## 3.5 Hiding future words with causal attention
### Applying a causal attention mask
### Masking additional attention weights with dropout
### Implementing a compact causal attention class
## 3.6 Extending single-head attention to multi-head attention
### Stacking multiple single-head attention layers
### Implementing multi-head attention with weight splits
## 3.7 Looking inside trained heads

chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb
# 4 Implementing a GPT model from scratch to generate text
## 4.1 Coding an LLM architecture
## 4.2 Normalizing activations with layer normalization
## 4.3 Implementing a feed forward network with GELU activations
## 4.4 Adding shortcut connections
## 4.5 Connecting attention and linear layers in a transformer block
## 4.6 Coding the GPT model
## 4.7 Generating text

chapters/05-pretraining-on-unlabeled-data.ipynb
# 5 Pretraining on unlabeled data
## 5.1 Evaluating generative text models
### Using GPT to generate text
### Calculating the text generation loss
### Calculating the training and validation set losses
## 5.2 Training an LLM

chapters/05b-decoding-strategies.ipynb
# 5 Pretraining on unlabeled data: decoding
## 5.3 Decoding strategies to control randomness
### Temperature scaling
### Top-k sampling
### Modifying the text generation function

chapters/05c-model-weights.ipynb
# 5 Pretraining on unlabeled data: saving and loading weights
## 5.4 Loading and saving model weights in PyTorch
## 5.5 Loading pretrained weights from OpenAI

chapters/06-fine-tuning-for-classification.ipynb
# 6 Fine-tuning for classification
## 6.1 Different categories of fine-tuning
## 6.2 Preparing the dataset
## 6.3 Creating data loaders
## 6.4 Initializing a model with pretrained weights
## 6.5 Adding a classification head
## 6.6 Calculating the classification loss and accuracy
## 6.7 Fine-tuning the model on supervised data
## 6.8 Using the LLM as a spam classifier

chapters/07-fine-tuning-to-follow-instructions.ipynb
# 7 Fine-tuning to follow instructions
## 7.1 Introduction to instruction fine-tuning
## 7.2 Preparing a dataset for supervised instruction fine-tuning
## 7.3 Organizing data into training batches
## 7.4 Creating data loaders for an instruction dataset
## 7.5 Loading a pretrained LLM
## 7.6 Fine-tuning the LLM on instruction data
## 7.7 Extracting and saving responses
## 7.8 Evaluating the fine-tuned LLM
## 7.9 Conclusions
### What's next?
### Staying up to date in a fast-moving field
### Final words

appendices/a-introduction-to-pytorch.ipynb
# Appendix A Introduction to PyTorch

appendices/b-references.md
# Appendix B References and further reading

appendices/c-exercise-solutions.ipynb
# Appendix C Exercise solutions

appendices/d-training-loop.ipynb
# Appendix D Adding bells and whistles to the training loop

appendices/e-lora.ipynb
# Appendix E Parameter-efficient fine-tuning with LoRA

intro.ipynb
# A Large Language Model from Scratch

course/glossary.md
# Glossary

course/index-of-terms.md
# Index
"""


def _parse(block: str) -> tuple[str, list[tuple[int, str]]]:
    path, *lines = block.splitlines()
    headings = [line.split(" ", 1) for line in lines]
    return path, [(len(marks), title) for marks, title in headings]


# page -> its (level, title) pairs, in the book's order
FIXED = dict(_parse(block) for block in HEADINGS.strip().split("\n\n"))
