#include "shim.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libyuv.h>
#include <vpx/vp8cx.h>
#include <vpx/vp8dx.h>
#include <vpx/vpx_decoder.h>
#include <vpx/vpx_encoder.h>

const char *tutti_vpx_version(void) { return vpx_codec_version_str(); }

struct tutti_vpx_decoder {
  vpx_codec_ctx_t ctx;
  vpx_image_t *img;  // the last picture, owned by ctx; NULL when there is none
};

tutti_vpx_decoder *tutti_vpx_decoder_new(int threads) {
  vpx_codec_dec_cfg_t cfg = {.threads = (unsigned int)threads};
  tutti_vpx_decoder *d = calloc(1, sizeof(*d));
  if (d == NULL) return NULL;
  if (vpx_codec_dec_init(&d->ctx, vpx_codec_vp8_dx(), &cfg, 0) != VPX_CODEC_OK) {
    free(d);
    return NULL;
  }
  return d;
}

void tutti_vpx_decoder_free(tutti_vpx_decoder *d) {
  if (d == NULL) return;
  vpx_codec_destroy(&d->ctx);
  free(d);
}

int tutti_vpx_draw(tutti_vpx_decoder *d, uint8_t *y, uint8_t *u, uint8_t *v,
                   tutti_vpx_view view) {
  const vpx_image_t *img = d->img;
  if (img == NULL) return TUTTI_VPX_NO_PICTURE;
  if (img->fmt != VPX_IMG_FMT_I420 || (int)img->d_w != view.width ||
      (int)img->d_h != view.height) {
    return TUTTI_VPX_SURPRISE;
  }
  const int sy = img->stride[VPX_PLANE_Y];
  const int su = img->stride[VPX_PLANE_U], sv = img->stride[VPX_PLANE_V];
  const int cx = view.x / 2, cy = view.y / 2;
  const int rc = I420Scale(
      img->planes[VPX_PLANE_Y] + (ptrdiff_t)view.y * sy + view.x, sy,
      img->planes[VPX_PLANE_U] + (ptrdiff_t)cy * su + cx, su,
      img->planes[VPX_PLANE_V] + (ptrdiff_t)cy * sv + cx, sv,
      view.w, view.h, y, view.stride_y, u, view.stride_c, v, view.stride_c,
      view.dst_w, view.dst_h, kFilterBox);
  return rc == 0 ? 0 : TUTTI_VPX_FAILED;
}

int tutti_vpx_decode(tutti_vpx_decoder *d, const uint8_t *data, size_t size,
                     uint8_t *y, uint8_t *u, uint8_t *v, tutti_vpx_view view) {
  vpx_codec_iter_t iter = NULL;
  int corrupted = 0;
  d->img = NULL;
  switch (vpx_codec_decode(&d->ctx, data, (unsigned int)size, NULL, 0)) {
    case VPX_CODEC_OK:
      break;
    case VPX_CODEC_UNSUP_BITSTREAM:
    case VPX_CODEC_UNSUP_FEATURE:
    case VPX_CODEC_CORRUPT_FRAME:
      return TUTTI_VPX_CORRUPT;
    default:
      return TUTTI_VPX_FAILED;
  }
  d->img = vpx_codec_get_frame(&d->ctx, &iter);
  // The library hides damage: it goes on with whatever the bits said. It does
  // keep account of it, over all frames that were predicted from the damage.
  if (vpx_codec_control(&d->ctx, VP8D_GET_FRAME_CORRUPTED, &corrupted) ==
          VPX_CODEC_OK && corrupted) {
    d->img = NULL;
    return TUTTI_VPX_CORRUPT;
  }
  if (y == NULL) return d->img == NULL ? TUTTI_VPX_NO_PICTURE : 0;
  return tutti_vpx_draw(d, y, u, v, view);
}

// What the encoder's thread is to do with one picture.
typedef struct {
  const uint8_t *y, *u, *v;
  int stride_y, stride_c, key;
  int64_t pts;
  unsigned long duration;
} job;

struct tutti_vpx_encoder {
  vpx_codec_ctx_t ctx;
  vpx_codec_enc_cfg_t cfg;
  tutti_vpx_packet packet;

  pthread_t thread;
  int event;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  job job;            // under the mutex, as what follows
  int busy, ending, result;
};

static void configure(vpx_codec_enc_cfg_t *g, const tutti_vpx_config *c) {
  g->g_w = (unsigned int)c->width;
  g->g_h = (unsigned int)c->height;
  g->g_threads = (unsigned int)c->threads;
  g->g_timebase.num = 1;
  g->g_timebase.den = 90000;
  g->g_pass = VPX_RC_ONE_PASS;
  g->g_lag_in_frames = 0;
  g->g_error_resilient = 0;
  g->rc_end_usage = VPX_CBR;
  g->rc_target_bitrate = (unsigned int)c->kbps;
  g->rc_min_quantizer = 2;
  g->rc_max_quantizer = 56;  // coarser than this a dropped frame looks better
  g->rc_undershoot_pct = 100;
  g->rc_overshoot_pct = 15;
  g->rc_buf_sz = 1000;  // ms of the rate, as the three are
  g->rc_buf_initial_sz = 500;
  g->rc_buf_optimal_sz = 600;
  g->rc_dropframe_thresh = 30;
  g->rc_resize_allowed = 0;
  g->kf_mode = VPX_KF_DISABLED;  // key frames only on demand
}

static int control(tutti_vpx_encoder *e, const tutti_vpx_config *c) {
  return vpx_codec_control(&e->ctx, VP8E_SET_CPUUSED, c->speed) ||
         vpx_codec_control(&e->ctx, VP8E_SET_STATIC_THRESHOLD, 1u) ||
         vpx_codec_control(&e->ctx, VP8E_SET_NOISE_SENSITIVITY, 0u) ||
         vpx_codec_control(&e->ctx, VP8E_SET_TOKEN_PARTITIONS,
                           (int)VP8_ONE_TOKENPARTITION) ||
         vpx_codec_control(&e->ctx, VP8E_SET_MAX_INTRA_BITRATE_PCT,
                           (unsigned int)c->max_intra_pct);
}

static int encode(tutti_vpx_encoder *e, const job *j) {
  const vpx_codec_cx_pkt_t *pkt;
  vpx_codec_iter_t iter = NULL;
  vpx_image_t img;
  memset(&e->packet, 0, sizeof(e->packet));
  // The image's fields are set by hand: the planes are three separate buffers
  // that the library only reads.
  if (vpx_img_wrap(&img, VPX_IMG_FMT_I420, e->cfg.g_w, e->cfg.g_h, 1,
                   (unsigned char *)j->y) == NULL) {
    return TUTTI_VPX_FAILED;
  }
  img.planes[VPX_PLANE_U] = (unsigned char *)j->u;
  img.planes[VPX_PLANE_V] = (unsigned char *)j->v;
  img.stride[VPX_PLANE_Y] = j->stride_y;
  img.stride[VPX_PLANE_U] = img.stride[VPX_PLANE_V] = j->stride_c;
  if (vpx_codec_encode(&e->ctx, &img, j->pts, j->duration,
                       j->key ? VPX_EFLAG_FORCE_KF : 0, VPX_DL_REALTIME)) {
    return TUTTI_VPX_FAILED;
  }
  while ((pkt = vpx_codec_get_cx_data(&e->ctx, &iter)) != NULL) {
    if (pkt->kind != VPX_CODEC_CX_FRAME_PKT) continue;
    e->packet.data = pkt->data.frame.buf;
    e->packet.size = pkt->data.frame.sz;
    e->packet.key = (pkt->data.frame.flags & VPX_FRAME_IS_KEY) != 0;
  }
  return 0;
}

// The encoder's thread.
static void *work(void *arg) {
  tutti_vpx_encoder *e = arg;
  const uint64_t one = 1;
  pthread_mutex_lock(&e->mutex);
  for (;;) {
    while (!e->busy && !e->ending) pthread_cond_wait(&e->changed, &e->mutex);
    if (!e->busy) break;
    const job j = e->job;
    pthread_mutex_unlock(&e->mutex);
    const int result = encode(e, &j);
    pthread_mutex_lock(&e->mutex);
    e->result = result;
    e->busy = 0;
    pthread_cond_broadcast(&e->changed);
    if (write(e->event, &one, sizeof(one)) < 0) {
      // It is readable already: nobody has looked since the last time.
    }
  }
  pthread_mutex_unlock(&e->mutex);
  return NULL;
}

// Starts the thread. It takes no signals: they are the Go runtime's.
static int start_thread(tutti_vpx_encoder *e) {
  sigset_t all, before;
  e->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (e->event < 0) return 1;
  pthread_mutex_init(&e->mutex, NULL);
  pthread_cond_init(&e->changed, NULL);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int rc = pthread_create(&e->thread, NULL, work, e);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc != 0) close(e->event);
  return rc;
}

tutti_vpx_encoder *tutti_vpx_encoder_new(tutti_vpx_config c) {
  tutti_vpx_encoder *e = calloc(1, sizeof(*e));
  if (e == NULL) return NULL;
  if (vpx_codec_enc_config_default(vpx_codec_vp8_cx(), &e->cfg, 0)) goto fail;
  configure(&e->cfg, &c);
  if (vpx_codec_enc_init(&e->ctx, vpx_codec_vp8_cx(), &e->cfg, 0)) goto fail;
  if (control(e, &c) || start_thread(e)) {
    vpx_codec_destroy(&e->ctx);
    goto fail;
  }
  return e;
fail:
  free(e);
  return NULL;
}

void tutti_vpx_encoder_free(tutti_vpx_encoder *e) {
  if (e == NULL) return;
  pthread_mutex_lock(&e->mutex);
  e->ending = 1;
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->mutex);
  pthread_join(e->thread, NULL);
  pthread_cond_destroy(&e->changed);
  pthread_mutex_destroy(&e->mutex);
  vpx_codec_destroy(&e->ctx);
  free(e);
}

int tutti_vpx_encoder_event(const tutti_vpx_encoder *e) { return e->event; }

void tutti_vpx_encoder_start(tutti_vpx_encoder *e, const uint8_t *y,
                             const uint8_t *u, const uint8_t *v, int stride_y,
                             int stride_c, int64_t pts, unsigned long duration,
                             int key) {
  pthread_mutex_lock(&e->mutex);
  e->job = (job){.y = y, .u = u, .v = v, .stride_y = stride_y,
                 .stride_c = stride_c, .key = key, .pts = pts,
                 .duration = duration};
  e->busy = 1;
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->mutex);
}

int tutti_vpx_encoder_wait(tutti_vpx_encoder *e) {
  pthread_mutex_lock(&e->mutex);
  while (e->busy) pthread_cond_wait(&e->changed, &e->mutex);
  const int result = e->result;
  pthread_mutex_unlock(&e->mutex);
  return result;
}

int tutti_vpx_encoder_rate(tutti_vpx_encoder *e, int kbps, int max_intra_pct) {
  e->cfg.rc_target_bitrate = (unsigned int)kbps;
  if (vpx_codec_enc_config_set(&e->ctx, &e->cfg) ||
      vpx_codec_control(&e->ctx, VP8E_SET_MAX_INTRA_BITRATE_PCT,
                        (unsigned int)max_intra_pct)) {
    return TUTTI_VPX_FAILED;
  }
  return 0;
}

const tutti_vpx_packet *tutti_vpx_encoder_packet(const tutti_vpx_encoder *e) {
  return &e->packet;
}
