"""The papers' algorithms, copied line by line in plain float64 NumPy; nothing of minidl is used here.

Each takes a starting value and the gradients of the steps, and returns the value after the last.
"""

from __future__ import annotations

import numpy as np


def heavy_ball(p, gradients, lr, momentum):  # Polyak 1964 as Sutskever et al. 2013 write it: the rate inside v
    v = 0 * p
    for g in gradients:
        v = momentum * v - lr * g
        p = p + v
    return p


def nesterov(
    p, gradients_at, steps, lr, momentum
):  # Sutskever et al. 2013, eq. 3: the gradient is taken ahead, at p + μv
    v = 0 * p
    for _ in range(steps):
        v = momentum * v - lr * gradients_at(p + momentum * v)
        p = p + v
    return p, v


def documents_momentum(p, gradients, lr, beta):  # 001, 3.1.5
    v = 0 * p
    for g in gradients:
        v = beta * v + (1 - beta) * g
        p = p - lr * v
    return p


def adagrad(p, gradients, lr, eps):  # Duchi et al. 2011, the diagonal version
    total = 0 * p
    for g in gradients:
        total = total + g**2
        p = p - lr * g / (np.sqrt(total) + eps)
    return p


def adadelta(p, gradients, rho, eps):  # Zeiler 2012, algorithm 1
    e_g2, e_dx2 = 0 * p, 0 * p
    for g in gradients:
        e_g2 = rho * e_g2 + (1 - rho) * g**2
        dx = -np.sqrt(e_dx2 + eps) / np.sqrt(e_g2 + eps) * g
        e_dx2 = rho * e_dx2 + (1 - rho) * dx**2
        p = p + dx
    return p


def rmsprop(p, gradients, lr, alpha, eps):  # Hinton 2012, lecture 6.5
    mean_square = 0 * p
    for g in gradients:
        mean_square = alpha * mean_square + (1 - alpha) * g**2
        p = p - lr * g / (np.sqrt(mean_square) + eps)
    return p


def graves_rmsprop(p, gradients, lr, alpha, eps, momentum):  # Graves 2013, eq. 38–41, with ε outside the root
    n, mean, delta = 0 * p, 0 * p, 0 * p
    for g in gradients:
        n = alpha * n + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        delta = momentum * delta - lr * g / (np.sqrt(n - mean**2) + eps)
        p = p + delta
    return p


def adam(p, gradients, lr, beta1, beta2, eps):  # Kingma & Ba 2015, algorithm 1
    m, v = 0 * p, 0 * p
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
    return p


def amsgrad(p, gradients, lr, beta1, beta2, eps):  # Reddi et al. 2018, algorithm 2, with Adam's corrections
    m, v, v_max = 0 * p, 0 * p, 0 * p
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        v_max = np.maximum(v_max, v)
        p = p - lr * m / (1 - beta1**t) / (np.sqrt(v_max / (1 - beta2**t)) + eps)
    return p


def adamw(
    p, gradients, lr, beta1, beta2, eps, decay
):  # Loshchilov & Hutter 2019, algorithm 2, η = 1, λ scaled by the rate
    m, v = 0 * p, 0 * p
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        p = p - lr * (m_hat / (np.sqrt(v_hat) + eps) + decay * p)
    return p


def nadam(p, gradients, lr, beta1, beta2, eps, psi):  # Dozat 2016, algorithm 2, with the schedule of its section 3.1
    m, v, product = 0 * p, 0 * p, 1.0
    mu = [beta1 * (1 - 0.5 * 0.96 ** (t * psi)) for t in range(len(gradients) + 2)]
    for t, g in enumerate(gradients, 1):
        product *= mu[t]
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = mu[t + 1] * m / (1 - product * mu[t + 1]) + (1 - mu[t]) * g / (1 - product)
        p = p - lr * m_hat / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p
