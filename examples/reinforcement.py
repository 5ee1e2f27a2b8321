"""
Balancing a pole: a gradient of your own
========================================

A network pushes a cart left or right so that a pole on it stays up (Barto, Sutton and Anderson, 1983), and
learns by policy gradients (Williams, 1992). The objective is not a loss of outputs and targets: its
derivative with respect to the outputs is computed here, and passed back through the network.
"""

import numpy as np

import bpkern

# %%
# The cart and its poles
# ----------------------
#
# The state of a cart and its pole is four numbers. Newton's laws give the state 0.02 s after a push.

POLES, LONGEST = 32, 200  # poles balanced at once, and the most steps


def new_states(rng, count):
    """Position and velocity of the cart, angle and angular velocity of the pole, all near 0: (count, 4)."""
    return rng.uniform(-0.05, 0.05, (count, 4))


def moved(states, actions):
    """The states 0.02 s later, after pushing the cart left (0) or right (1), and which poles have fallen."""
    _, speed, angle, turn = states.T
    force = np.where(actions == 1, 10.0, -10.0)
    push = (force + 0.05 * turn**2 * np.sin(angle)) / 1.1
    swing = (9.8 * np.sin(angle) - np.cos(angle) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(angle) ** 2 / 1.1))
    pull = push - 0.05 * swing * np.cos(angle) / 1.1
    after = states + 0.02 * np.stack([speed, pull, turn, swing], axis=1)
    return after, (np.abs(after[:, 0]) > 2.4) | (np.abs(after[:, 2]) > 0.21)


# %%
# Playing
# -------
#
# The two outputs of the network are logits. Their softmax is the probability of each push, and the push is
# drawn by it.


def softmax(outputs):
    e = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def play(model, rng):
    """One episode of all poles: states (steps, poles, 4), actions, and whether each pole still stood."""
    states, standing, seen = new_states(rng, POLES), np.ones(POLES, bool), []
    for _ in range(LONGEST):
        actions = (rng.random(POLES) < softmax(model.forward(states))[:, 1]).astype(int)
        seen.append((states, actions, standing))
        states, fallen = moved(states, actions)
        standing = standing & ~fallen
    return [np.stack(each) for each in zip(*seen, strict=True)]


# %%
# Learning
# --------
#
# A push was good if the pole stood longer after it than the others did on average. With :math:`A_t` for how
# much longer, the objective is the mean of :math:`-A_t \log p(\text{push}_t)`. Its derivative by the logits
# is that of the cross-entropy, times :math:`A_t`:
#
# .. math::
#
#    \frac{\partial}{\partial s_k} \left( -A_t \log p_{\text{push}_t} \right)
#    = A_t \left( p_k - [k = \text{push}_t] \right)
#
# ``forward(train=True)``, ``backward`` and ``step`` make an update from it.

rng = np.random.default_rng(0)
# The outputs are the logits of pushing left and right.
model = bpkern.MLP(
    [4, 32, 2], activation="tanh", loss="cross_entropy", optimizer=bpkern.Adam(lr=0.03), seed=0
)

for iteration in range(31):
    states, actions, standing = play(model, rng)
    if iteration % 10 == 0:
        steps = standing.sum() / POLES
        print(f"after {iteration:2d} updates a pole stays up for {steps:.0f} of {LONGEST} steps")
    # How much longer each pole stood from that step on than the others on average.
    to_come = np.cumsum(standing[::-1], axis=0)[::-1].astype(float)
    better = (to_come - to_come.mean(axis=1, keepdims=True))[standing]
    better /= better.std() + 1e-9
    # The derivative of the mean of -better * log(probability of the action).
    outputs = model.forward(states[standing], train=True)
    gradient = softmax(outputs)
    gradient[np.arange(len(gradient)), actions[standing]] -= 1
    model.backward(gradient * better[:, None] / len(gradient), input_gradient=False)
    model.step()
