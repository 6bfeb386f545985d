#include "shim.h"

#include <opus.h>

int tutti_opus_get_bitrate(void *encoder) {
  opus_int32 v = 0;
  int rc = opus_encoder_ctl((OpusEncoder *)encoder, OPUS_GET_BITRATE(&v));
  return rc == OPUS_OK ? v : rc;
}

int tutti_opus_set_independent(void *encoder, int on) {
  return opus_encoder_ctl((OpusEncoder *)encoder,
                          OPUS_SET_PREDICTION_DISABLED(on));
}

int tutti_opus_decoder_rate(void *decoder) {
  opus_int32 v = 0;
  int rc = opus_decoder_ctl((OpusDecoder *)decoder, OPUS_GET_SAMPLE_RATE(&v));
  return rc == OPUS_OK ? v : rc;
}

int tutti_opus_decoder_reset(void *decoder) {
  return opus_decoder_ctl((OpusDecoder *)decoder, OPUS_RESET_STATE);
}
