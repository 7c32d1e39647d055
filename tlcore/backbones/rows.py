"""The rows of the registry: what is known about each backbone besides its blocks, which are measured once."""

from __future__ import annotations

from tlcore.backbones.spec import (
    CAFFE,
    EFFICIENTNET_LITE,
    KERAS_APPLICATIONS,
    MINUS_ONE_TO_ONE,
    RAW_PIXELS,
    TORCH,
    BackboneSpec,
    BlockEnds,
    EmbeddedWeights,
    PreprocessingSpec,
    keras_weights,
)
from tlcore.downloading import PublishedFile

# Keras keeps the weights of EfficientNetB0 to B7, and only these, outside its usual folder.
EFFICIENTNET_STORAGE = "https://storage.googleapis.com/keras-applications"

EFFICIENTNET_ENDS: BlockEnds = (
    ("stem_activation", "stem"),
    (r"(block\d[a-z])_(?:project_bn|project_activation|add)", r"\1"),
    ("top_activation", "top"),
)
MOBILENET_V2_ENDS: BlockEnds = (
    ("Conv1_relu", "Conv1"),
    (r"(expanded_conv|block_\d+)_(?:project_BN|add)", r"\1"),
    ("out_relu", "Conv_1"),
)
MOBILENET_V3_ENDS: BlockEnds = (
    ("activation", "conv"),
    (r"(expanded_conv(?:_\d+)?)_(?:project_bn|add)", r"\1"),
    (r"activation_\d+", "conv_1"),
)
VGG_ENDS: BlockEnds = ((r"(block\d)_pool", r"\1"),)
RESNET_ENDS: BlockEnds = (("pool1_pool", "conv1"), (r"(conv\d_block\d+)_out", r"\1"))
CONVNEXT_TINY_DEPTHS = (3, 3, 9, 3)
CONVNEXT_TINY_BLOCKS = [
    f"stage_{stage}_block_{number}" for stage, depth in enumerate(CONVNEXT_TINY_DEPTHS) for number in range(depth)
]

# Keras divides the normalized pixels by the roots of these, but only when it loads the ImageNet weights itself.
# Source: `IMAGENET_STDDEV_RGB` of keras/src/applications/efficientnet.py, and
# https://github.com/tensorflow/tensorflow/issues/49930
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)
MOBILENET_V2_WIDTHS = "https://www.tensorflow.org/api_docs/python/tf/keras/applications/mobilenet_v2"

# The first six as the documentation of Keras 2.2 said below each network; of the others the licence of the repository
# from which Keras took the weights.
KERAS_LICENCES = (
    "https://github.com/keras-team/keras/blob/31599d801d73d2ca07d7ff0ecf62da0164456895/docs/templates/applications.md"
)
APACHE = ("Apache-2.0", KERAS_LICENCES)
OXFORD = ("CC BY 4.0, Visual Geometry Group, University of Oxford", KERAS_LICENCES)
RESNET = ("MIT, Kaiming He", KERAS_LICENCES)
RESNET_V2 = ("BSD, Facebook", KERAS_LICENCES)
DENSENET = ("BSD 3-clause, Zhuang Liu and Gao Huang", KERAS_LICENCES)
XCEPTION = ("MIT", KERAS_LICENCES)
TPU_MODELS = ("Apache-2.0", "https://github.com/tensorflow/tpu/blob/master/LICENSE")
AUTOML = ("Apache-2.0", "https://github.com/google/automl/blob/master/LICENSE")
TENSORFLOW_MODELS = ("Apache-2.0", "https://github.com/tensorflow/models/blob/master/LICENSE")
CONVNEXT = ("MIT, Meta Platforms", "https://github.com/facebookresearch/ConvNeXt/blob/main/LICENSE")


def _keras(
    name: str,
    builder: str,
    top1: float,
    preprocessing: PreprocessingSpec,
    weights: PublishedFile,
    block_ends: BlockEnds,
    licence: tuple[str, str],
    *,
    title: str = "",
    size: int = 224,
    minimum_size: int = 32,
    source: str = KERAS_APPLICATIONS,
    alpha: float | None = None,
    variance_factors: tuple[float, float, float] | None = None,
) -> BackboneSpec:
    """Return the row of a network of `keras.applications`."""
    return BackboneSpec(
        name=name,
        title=title or builder,
        builder=f"keras.applications:{builder}",
        imagenet_top1=top1,
        imagenet_source=source,
        default_size=size,
        minimum_size=minimum_size,
        preprocessing=preprocessing,
        weights=weights,
        licence=licence[0],
        licence_source=licence[1],
        block_ends=block_ends,
        arguments=() if alpha is None else (("alpha", alpha),),
        imagenet_variance_factors=variance_factors,
    )


def _tf_kernels(name: str, size_bytes: int, md5: str, folder: str = "") -> PublishedFile:
    """Return weights under the name that most networks of Keras have."""
    filename = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return keras_weights(folder or name, filename, size_bytes, md5)


def _mobilenet_v2(
    width: str, alpha: float, top1: float, size_bytes: int, *, source: str = MOBILENET_V2_WIDTHS
) -> BackboneSpec:
    """Return the row of one width; of all but the usual one the size of the file is that of its numbers."""
    filename = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5"
    weights = keras_weights("mobilenet_v2", filename, size_bytes, size_is_exact=not width)
    name, title = f"mobilenet_v2{width}", f"MobileNetV2 {alpha}" if width else "MobileNetV2"
    ends = MOBILENET_V2_ENDS
    return _keras(
        name, "MobileNetV2", top1, MINUS_ONE_TO_ONE, weights, ends, APACHE, title=title, source=source, alpha=alpha
    )


def _mobilenet_v3(size: str, top1: float, size_bytes: int, md5: str) -> BackboneSpec:
    filename = f"weights_mobilenet_v3_{size.lower()}_224_1.0_float_no_top_v2.h5"
    weights = keras_weights("mobilenet_v3", filename, size_bytes, md5)
    name, builder, title = f"mobilenet_v3_{size.lower()}", f"MobileNetV3{size}", f"MobileNetV3 {size}"
    source = f"{KERAS_APPLICATIONS}mobilenet/"
    return _keras(
        name, builder, top1, RAW_PIXELS, weights, MOBILENET_V3_ENDS, TENSORFLOW_MODELS, title=title, source=source
    )


def _efficientnet(number: int, size: int, top1: float, size_bytes: int, md5: str) -> BackboneSpec:
    weights = keras_weights(EFFICIENTNET_STORAGE, f"efficientnetb{number}_notop.h5", size_bytes, md5)
    name, builder, ends = f"efficientnet_b{number}", f"EfficientNetB{number}", EFFICIENTNET_ENDS
    factors = IMAGENET_DEVIATIONS
    return _keras(name, builder, top1, RAW_PIXELS, weights, ends, TPU_MODELS, size=size, variance_factors=factors)


def _efficientnet_v2(number: int, size: int, top1: float, size_bytes: int, md5: str) -> BackboneSpec:
    weights = keras_weights("efficientnet_v2", f"efficientnetv2-b{number}_notop.h5", size_bytes, md5)
    name, builder = f"efficientnet_v2_b{number}", f"EfficientNetV2B{number}"
    return _keras(name, builder, top1, RAW_PIXELS, weights, EFFICIENTNET_ENDS, AUTOML, size=size)


def _vgg(layers: int, size_bytes: int, md5: str) -> BackboneSpec:
    name = f"vgg{layers}"
    return _keras(name, name.upper(), 0.713, CAFFE, _tf_kernels(name, size_bytes, md5), VGG_ENDS, OXFORD)


def _resnet(layers: int, top1: float, size_bytes: int, md5: str) -> BackboneSpec:
    weights = _tf_kernels(f"resnet{layers}", size_bytes, md5, "resnet")
    return _keras(f"resnet{layers}", f"ResNet{layers}", top1, CAFFE, weights, RESNET_ENDS, RESNET)


ROWS: tuple[BackboneSpec, ...] = (
    BackboneSpec(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0",
        builder="tlcore.backbones.efficientnet_lite:build_efficientnet_lite0",
        imagenet_top1=0.751,
        imagenet_source="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        default_size=224,
        minimum_size=32,
        preprocessing=EFFICIENTNET_LITE,
        weights=EmbeddedWeights("efficientnet_lite0.weights.h5"),
        licence=TPU_MODELS[0],
        licence_source=TPU_MODELS[1],
        block_ends=EFFICIENTNET_ENDS,
    ),
    _keras(
        "mobilenet",
        "MobileNet",
        0.704,
        MINUS_ONE_TO_ONE,
        # As published: far more than 4 bytes for each number.
        keras_weights("mobilenet", "mobilenet_1_0_224_tf_no_top.h5", 17_225_924),
        (("conv1_relu", "conv1"), (r"conv_pw_(\d+)_relu", r"block_\1")),
        APACHE,
    ),
    _mobilenet_v2("_035", 0.35, 0.603, 1_640_832),
    _mobilenet_v2("_050", 0.5, 0.654, 2_824_896),
    _mobilenet_v2("_075", 0.75, 0.698, 5_528_256),
    _mobilenet_v2("", 1.0, 0.713, 9_406_464, source=KERAS_APPLICATIONS),
    _mobilenet_v2("_130", 1.3, 0.744, 15_064_192),
    _mobilenet_v2("_140", 1.4, 0.75, 17_454_848),
    _mobilenet_v3("Small", 0.681, 4_334_752, "d3e8ec802a04aa4fc771ee12a9a9b836"),
    _mobilenet_v3("Large", 0.756, 12_683_000, "07fb09a5933dd0c8eaafa16978110389"),
    _vgg(16, 58_889_256, "6d6bbae143d832006294945121d1f1fc"),
    _vgg(19, 80_134_624, "253f8cb515780f3b799900260a226db6"),
    _resnet(50, 0.749, 94_765_736, "4d473c1dd8becc155b73f8504c6f6626"),
    _resnet(101, 0.764, 171_446_536, "88cf7a10940856eca736dc7b7e228a21"),
    _keras(
        "resnet50_v2",
        "ResNet50V2",
        0.76,
        MINUS_ONE_TO_ONE,
        _tf_kernels("resnet50v2", 94_668_760, "fac2f116257151a9d068a22e544a4917", "resnet"),
        # The normalization after the whole network is no block of its own: it has nothing to train.
        (*RESNET_ENDS, ("post_relu", "conv5_block3")),
        RESNET_V2,
    ),
    _keras(
        "inception_v3",
        "InceptionV3",
        0.779,
        MINUS_ONE_TO_ONE,
        _tf_kernels("inception_v3", 87_910_968, "bcbd6486424b2319ff4ef7d526e38f63"),
        (("max_pooling2d_1", "stem"), (r"(mixed\d+)", r"\1")),
        APACHE,
        size=299,
        minimum_size=75,
    ),
    _keras(
        "inception_resnet_v2",
        "InceptionResNetV2",
        0.803,
        MINUS_ONE_TO_ONE,
        _tf_kernels("inception_resnet_v2", 219_055_592, "d19885ff4a710c122648d3b5c3b684e4"),
        (
            ("max_pooling2d_1", "stem"),
            (r"(mixed_\d[ab])", r"\1"),
            (r"(block\d+_\d+)_ac", r"\1"),
            ("custom_scale_layer_39", "block8_10"),
            ("conv_7b_ac", "conv_7b"),
        ),
        APACHE,
        size=299,
        minimum_size=75,
    ),
    _keras(
        "xception",
        "Xception",
        0.79,
        MINUS_ONE_TO_ONE,
        _tf_kernels("xception", 83_683_744, "b0042744bf5b25fce3cb969f33bebb97"),
        (
            ("block1_conv2_act", "block1"),
            ("add", "block2"),
            *((f"add_{number}", f"block{number + 2}") for number in range(1, 12)),
            ("block14_sepconv2_act", "block14"),
        ),
        XCEPTION,
        size=299,
        minimum_size=71,
    ),
    _keras(
        "densenet121",
        "DenseNet121",
        0.75,
        TORCH,
        _tf_kernels("densenet121", 29_084_464, "30ee3e1110167f948a6b9946edeeb738", "densenet"),
        (
            ("pool1", "conv1"),
            (r"(conv[234])_block\d+_concat", r"\1"),
            (r"(pool\d)_pool", r"\1"),
            ("relu", "conv5"),
        ),
        DENSENET,
    ),
    _efficientnet(0, 224, 0.771, 16_705_208, "50bc09e76180e00e4465e1a485ddc09d"),
    _efficientnet(1, 240, 0.791, 27_018_416, "74c4e6b3e1f6a1eea24c589628592432"),
    _efficientnet(2, 260, 0.801, 31_790_344, "111f8e2ac8aa800a7a99e3239f7bfb39"),
    _efficientnet(3, 300, 0.816, 43_941_136, "af6d107764bb5b1abb91932881670226"),
    _efficientnet_v2(0, 224, 0.787, 24_274_472, "893217f2bb855e2983157299931e43ff"),
    _efficientnet_v2(1, 240, 0.798, 28_456_008, "0e80663031ca32d657f9caa404b6ec37"),
    _keras(
        "nasnet_mobile",
        "NASNetMobile",
        0.744,
        MINUS_ONE_TO_ONE,
        # Keras saves the file under another name than it is published.
        keras_weights(
            "nasnet",
            "nasnet_mobile_no_top.h5",
            19_993_432,
            "1ed92395b5b598bdda52abe5c0dbfd63",
            published_name="NASNet-mobile-no-top.h5",
        ),
        # Each cell gets what the two cells before it hand over, so that there is no place to cut between them.
        (("stem_bn1", "stem"), ("activation_187", "cells")),
        APACHE,
    ),
    _keras(
        "convnext_tiny",
        "ConvNeXtTiny",
        0.813,
        RAW_PIXELS,
        keras_weights(
            "convnext",
            "convnext_tiny_notop.h5",
            111_650_432,
            "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        ),
        (
            ("convnext_tiny_stem", "stem"),
            ("add", CONVNEXT_TINY_BLOCKS[0]),
            *((f"add_{number}", name) for number, name in enumerate(CONVNEXT_TINY_BLOCKS[1:], start=1)),
            ("layer_normalization", CONVNEXT_TINY_BLOCKS[-1]),
        ),
        CONVNEXT,
    ),
)
"""In the order in which they are offered. A new one is a row here and one run of `measure_blocks`."""
