//! The networks that hear: ResNet and MobileNetV3.
