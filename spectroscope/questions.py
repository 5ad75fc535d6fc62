"""The question of every stage, by the stage's name, in the order of the pipeline."""

QUESTIONS = {
    "study": "Is the study well posed?",
    "dataset": "Which images?",
    "information": "What information is in each band?",
    "bands": "What is left of the images in a band of frequencies?",
    "training": "What does a network learn from a band, with or without an adversary?",
    "attacks": "How is it fooled?",
    "evaluation": "How often is each network right, on every band and under every attack?",
    "attack_checks": "Can the attacks be believed, and does what fools one network fool another?",
    "perturbation": "Which frequencies does an attack change, and which would plain noise of the same size change?",
    "attribution": "Which frequencies does a trained network rely on?",
    "probing": "Which bands does each network need, remember, and give way in?",
    "findings": "What differs between the runs, beyond chance?",
    "validation": "Do the measures of reliance agree, and how good is each of them?",
    "report": "One page to look at",
}
