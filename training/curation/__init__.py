"""Make the data of MiniGPT-4's second stage in three steps; every step keeps what it rejects.

    inquisight curate generate DIR PICTURES --vision NAME     a vision model describes each picture at length
    inquisight curate repair DIR --repairer NAME              a language model repairs each text
    inquisight curate verify DIR --reviewer NAME              people label the errors of a sample
    inquisight curate rules DIR                               rules per kind of error fix a text or drop it
    inquisight curate export DIR --to FOLDER                  the cc_sbu_align layout, with the origin of each pair

After Zhu et al. 2023 (https://arxiv.org/abs/2304.10592, section 3.2), who describe these steps and never released
their code. `text_metrics.py` measures the quality of a text and can be used alone.
"""
