"""The data of MiniGPT-4's second stage, made in three steps, none of which loses a reject.

    inquisight curate generate DIR PICTURES --vision NAME     a model that sees describes each picture at length
    inquisight curate repair DIR --repairer NAME              a language model repairs each text
    inquisight curate verify DIR --reviewer NAME              people label the errors of a sample
    inquisight curate rules DIR                               rules per kind of error fix a text or drop it
    inquisight curate export DIR --to FOLDER                  the cc_sbu_align layout, with where each pair came from

After Zhu et al. 2023 (https://arxiv.org/abs/2304.10592, section 3.2), who describe these steps and never released
their code. `signs.py` measures what is wrong with a text and is of use without the rest.
"""
