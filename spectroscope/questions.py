"""The questions of a study in order: one name each, for its stage, settings, module, chapter and documentation."""

QUESTIONS = {
    "study": "Is every setting of the study valid?",
    "dataset": "Which images are the networks trained and tested on?",
    "counts": "Do the images suffice for what every setting asks of them?",
    "information": "Which bands of the images carry information about the class?",
    "bands": "What do the images look like in each band of frequencies?",
    "training": "What does each network learn from its band, in its training regime?",
    "attacks": "How do attacks fool each network?",
    "evaluation": "How accurate is each network on every band and under every attack?",
    "attack_checks": "Are the attacks strong enough to be believed, and do adversaries transfer between networks?",
    "perturbation": "Which frequencies does an attack change, compared with noise of the same size?",
    "attribution": "Which frequencies does each network rely on?",
    "probing": "Which bands does each network need, which does it represent, and where are its margins small?",
    "findings": "Which differences between runs are larger than chance?",
    "validation": "Do the attribution methods agree, and how faithful is each of them?",
    "claims": "Which of its claims does the study support?",
    "report": "What did the study find?",
}
