"""The methods that `bench/realmlp.py` compares: each trains on parts of a table and predicts its test rows.

A method is a function of (data, parts, seed, threads) that returns a fitted model with `predict` and, for
classes, `predict_proba`. Networks of both RealMLPs get the same training and validation rows. Boosting and
scikit-learn's MLP get both together, and divide them on their own.
"""

import numpy as np


def bpkern(recipe):
    def fit(data, parts, seed, threads):
        from bpkern.sklearn import RealMLPClassifier, RealMLPRegressor

        kind = RealMLPRegressor if data.classes is None else RealMLPClassifier
        model = kind(recipe=recipe, random_state=seed, n_threads=threads, verbose=0)
        (X, y), (X_val, y_val) = parts.training, parts.validation
        return model.fit(X, y, X_val=X_val, y_val=y_val)

    return fit


def pytabkit(recipe):
    def fit(data, parts, seed, threads):
        import pytabkit

        name = "RealMLP_" + recipe.upper().replace("-", "_")
        kind = getattr(pytabkit, name + ("_Regressor" if data.classes is None else "_Classifier"))
        model = kind(device="cpu", random_state=seed, n_threads=threads)
        return model.fit(*parts.training, *parts.validation)

    return fit


def sklearn_mlp(data, parts, seed, threads):
    """scikit-learn's MLP behind standard scaling and one-hot columns, y standardised, stopping early."""
    from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
        sparse_threshold=0,
    )
    settings = dict(early_stopping=True, validation_fraction=0.2, random_state=seed)
    X, y = parts.known()
    if data.classes is None:
        network = TransformedTargetRegressor(MLPRegressor(**settings), transformer=StandardScaler())
    else:
        network = MLPClassifier(**settings)
    with _threads(threads):
        return make_pipeline(columns, network).fit(X, y)


def boosting(data, parts, seed, threads):
    """HistGradientBoosting with its default settings."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if data.classes is None else HistGradientBoostingClassifier
    with _threads(threads):
        return kind(random_state=seed).fit(*parts.known())


def _threads(number):
    from threadpoolctl import threadpool_limits

    return threadpool_limits(number)


METHODS = {
    "bpkern td-s": bpkern("td-s"),
    "bpkern td": bpkern("td"),
    "pytabkit td-s": pytabkit("td-s"),
    "pytabkit td": pytabkit("td"),
    "sklearn MLP": sklearn_mlp,
    "boosting": boosting,
}


def scores_of(model, data, parts):
    """Error, log loss and 1 - AUC of classes; RMSE of values in deviations of the target."""
    from sklearn.metrics import log_loss, roc_auc_score

    X, y = parts.test
    if data.classes is None:
        rmse = np.sqrt(np.mean((np.asarray(model.predict(X), np.float64) - y) ** 2))
        return {"rmse": float(rmse / y.std()), "r2": float(1 - (rmse / y.std()) ** 2)}
    p = np.asarray(model.predict_proba(X), np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    auc = roc_auc_score(y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr")
    return {
        "error": float(np.mean(p.argmax(axis=1) != y)),
        "log_loss": float(log_loss(y, p, labels=np.arange(data.classes))),
        "1-auc": float(1 - auc),
    }
